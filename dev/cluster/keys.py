"""Keys, certificates and kubeconfigs of the local cluster; made once, all at once."""

import base64
import shutil
import subprocess
from pathlib import Path

from layout import API_SERVICE_ADDRESS, CONTEXT, GATEWAY, NODES
from paths import STATE, write

PKI = STATE / "pki"
_EC = ("-pkeyopt", "ec_paramgen_curve:prime256v1")
_DAYS = "3650"
_API_NAMES = "IP:127.0.0.1,IP:{},IP:{},DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
_SUBJECTS = {
    "apiserver": ("/CN=kube-apiserver", _API_NAMES.format(API_SERVICE_ADDRESS, GATEWAY)),
    "admin": ("/O=system:masters/CN=admin", "DNS:admin"),
    "controllers": ("/CN=system:kube-controller-manager", "DNS:controllers"),
    "scheduler": ("/CN=system:kube-scheduler", "DNS:scheduler"),
    "proxy": ("/CN=system:kube-proxy", "DNS:proxy"),
    "dns": ("/O=system:masters/CN=coredns", "DNS:dns"),
    **{node.name: (f"/O=system:nodes/CN=system:node:{node.name}", f"DNS:{node.name},IP:{GATEWAY}") for node in NODES},
}


def ensure() -> None:
    if PKI.is_dir():
        return
    draft = STATE / "pki.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    _openssl(draft, "genpkey", "-algorithm", "EC", *_EC, "-out", "sa.key")
    _openssl(draft, "pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub")
    request = ("req", "-newkey", "ec", *_EC, "-nodes")
    _openssl(
        draft, *request, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-days", _DAYS, "-subj", "/CN=slipway-local"
    )
    for name, (subject, alternatives) in _SUBJECTS.items():
        _openssl(draft, *request, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        (draft / f"{name}.ext").write_text(f"subjectAltName={alternatives}\n")
        signer = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", _DAYS)
        files = ("-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", f"{name}.ext")
        _openssl(draft, "x509", "-req", *signer, *files)
    draft.rename(PKI)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def kubeconfig(user: str, path: Path, port: int) -> Path:
    """A kubeconfig that holds its keys itself, so that it can be copied."""

    def data(file: str) -> str:
        return base64.b64encode((PKI / file).read_bytes()).decode()

    text = f"""apiVersion: v1
kind: Config
clusters:
- name: {CONTEXT}
  cluster: {{server: "https://127.0.0.1:{port}", certificate-authority-data: {data("ca.crt")}}}
users:
- name: {CONTEXT}-{user}
  user: {{client-certificate-data: {data(user + ".crt")}, client-key-data: {data(user + ".key")}}}
contexts:
- name: {CONTEXT}
  context: {{cluster: {CONTEXT}, user: {CONTEXT}-{user}}}
current-context: {CONTEXT}
"""
    write(path, text, 0o600)
    return path


def component(user: str, port: int) -> str:
    return str(kubeconfig(user, STATE / "kubeconfig" / user, port))
