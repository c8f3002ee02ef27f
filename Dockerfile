# A server of its own: docs/how-to/installation.md#docker

FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements requirements
# npm is borrowed for the playground's assets, as scripts/install.py does.
RUN python -m venv /opt/tallied \
    && /opt/tallied/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements/serve.txt \
    && /opt/tallied/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: --target /opt/npm -r requirements/node.txt
COPY . .
RUN PYTHONPATH=/opt/npm /opt/tallied/bin/pip install --no-cache-dir --no-deps --no-index --no-build-isolation .

FROM python:3.13-slim
COPY --from=build /opt/tallied /opt/tallied
RUN useradd --system --uid 10001 tallied && install --directory --owner=tallied /data
ENV PATH=/opt/tallied/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TALLIED_DATABASE=sqlite+aiosqlite:////data/tallied.db \
    TALLIED_HOST=0.0.0.0
USER 10001
VOLUME /data
EXPOSE 8000
# The port of the image; with another one (TALLIED_PORT), change the probe, too.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/live')"]
ENTRYPOINT ["tallied"]
CMD ["serve"]
