"""Code of models that have something wrong with them; each file is logged to MLflow as it is."""
