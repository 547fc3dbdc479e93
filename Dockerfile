# syntax=docker/dockerfile:1
# Python 3.11.16. Renew the digest with each release, at both places: docker buildx imagetools inspect python:3.11-slim
FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS build
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/autoscribe-gateway && python -m venv tools
RUN /opt/autoscribe-gateway/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
RUN tools/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY gateway ./gateway
COPY mappings ./mappings
RUN tools/bin/python -m pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation -w dist .
RUN /opt/autoscribe-gateway/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps dist/*.whl

FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7
LABEL org.opencontainers.image.title="autoscribe-gateway" \
      org.opencontainers.image.description="Radiology reports signed in AutoScribe, delivered as FHIR R4 and HL7 v2 ORU^R01." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/autoscribe-gateway /opt/autoscribe-gateway
ENV PATH=/opt/autoscribe-gateway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_DATABASE_URL=sqlite:////var/lib/autoscribe-gateway/gateway.db GATEWAY_FEED__STATE_DIR=/var/lib/autoscribe-gateway
RUN useradd --system --uid 10001 --no-create-home gateway \
    && install -d -o 10001 -m 0700 /var/lib/autoscribe-gateway
USER 10001
WORKDIR /var/empty
# Nothing else is written: run it with a read-only root.
VOLUME /var/lib/autoscribe-gateway
# Without TLS; compose.yaml has the check for a gateway with a certificate.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8800/livez', timeout=4)"]
ENTRYPOINT ["autoscribe-gateway"]
CMD ["serve"]
