# proxyd in a container: `docker build -t proxyd .`; with its data plane compiled: --build-arg PROXYD_MYPYC=1.
# The configuration is /etc/proxyd/proxyd.yaml; docs/deployment.md has the rest.

ARG PYTHON=3.13

FROM docker.io/library/python:${PYTHON}-slim AS build
ARG PROXYD_MYPYC=0
ENV PROXYD_MYPYC=${PROXYD_MYPYC}
RUN if [ "$PROXYD_MYPYC" = 1 ]; then apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev; fi
WORKDIR /source
COPY . .
RUN python -m venv /opt/proxyd && /opt/proxyd/bin/pip install --no-cache-dir .

FROM docker.io/library/python:${PYTHON}-slim
COPY --from=build /opt/proxyd /opt/proxyd
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin proxyd \
    && install -d -o proxyd -g proxyd /run/proxyd /etc/proxyd /var/log/proxyd
ENV PATH=/opt/proxyd/bin:$PATH PROXYD_RUN_DIR=/run/proxyd PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
# Process 1 is proxyd itself: SIGTERM drains, SIGHUP reloads.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["proxyd", "status", "--check"]
ENTRYPOINT ["proxyd"]
CMD ["start", "-c", "/etc/proxyd/proxyd.yaml"]
