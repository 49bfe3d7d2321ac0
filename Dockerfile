# Two images: `operator`, the controller, and `runner`, what runs in the pods that it makes
# (and MLflow itself, for the demo). Dependencies lie in a layer below the code.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS base
# A virtual environment, since a Debian's own Python is called python3 only and refuses packages.
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/slipway \
    PYTHONUNBUFFERED=1 \
    USER=slipway
RUN python3 -m venv /opt/venv && mkdir -p /opt/slipway
WORKDIR /opt/slipway

# The secret `ca` is the builder's bundle of certificates, for networks that replace those of the package
# index; it is there only while the command runs.
# The packages' own tests are left out (a tenth of the image), and byte code is compiled here, unchecked, since the root file system is read-only in the pods.
FROM base AS operator-dependencies
COPY requirements/operator.txt /tmp/requirements.txt
RUN --mount=type=secret,id=ca,target=/run/ca.crt \
    if [ -s /run/ca.crt ]; then export PIP_CERT=/run/ca.crt; fi; \
    pip install --require-hashes --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
        --requirement /tmp/requirements.txt \
    && find /opt/venv -type d -name tests -prune -exec rm -rf {} + \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM base AS runner-dependencies
# OpenMP, which wheels (LightGBM's) leave to the system.
RUN ldconfig -p | grep -q libgomp.so.1 \
    || (apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*)
COPY requirements/runner.txt /tmp/requirements.txt
RUN --mount=type=secret,id=ca,target=/run/ca.crt \
    if [ -s /run/ca.crt ]; then export PIP_CERT=/run/ca.crt; fi; \
    pip install --require-hashes --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
        --requirement /tmp/requirements.txt \
    && find /opt/venv -type d -name tests -prune -exec rm -rf {} + \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM operator-dependencies AS operator
COPY operator/slipway /opt/slipway/slipway
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/slipway
USER 65532:65532
ENTRYPOINT ["python", "-m", "slipway"]

FROM runner-dependencies AS runner
COPY operator/slipway /opt/slipway/slipway
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/slipway
USER 65532:65532
