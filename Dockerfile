# The cloud side of PocketRec in a container: `docker build -t pocketrec .`, then
#   docker run --rm -v "$PWD:/work" pocketrec run clicks.toml
# Versions are those of requirements.txt. A device needs no container: it is numpy, one runtime and the wheel.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
COPY --from=wheel /wheels /wheels
COPY requirements.txt /wheels/
RUN pip install --no-cache-dir --constraint /wheels/requirements.txt "$(ls /wheels/*.whl)[cloud,parquet,secure]" \
    && useradd --create-home --uid 1000 pocketrec
USER 1000
WORKDIR /work
ENTRYPOINT ["pocketrec"]
CMD ["--help"]
