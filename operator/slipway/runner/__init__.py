"""The programs that run in pods: import, fetch, score, judge, serve. Of Slipway they see the API package only."""
