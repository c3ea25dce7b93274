# Two images of one checkout.
#
#   docker build --target worker  --tag webtext .          what Dataflow and Flink's worker pool run
#   docker build --target trainer --tag webtext-trainer .  the commands and PyTorch, on one machine
#
# docs/engines.md says how each is used.  Tags were chosen by hand; add the digest that your registry shows to be sure of the bytes.

FROM python:3.11.14-slim-bookworm AS wheel
RUN python -m pip install --no-cache-dir setuptools==84.2.1
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY dags dags
COPY model model
COPY pipeline pipeline
COPY tokenizer tokenizer
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM apache/beam_python3.11_sdk:2.77.0 AS worker
# An environment of our own holds the lock and nothing else: Beam's image brings other versions of what we pin.  The variable keeps
# Beam's boot program from making a fresh one for each worker, which would not see it.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
RUN python -m venv /opt/webtext
ENV PATH=/opt/webtext/bin:$PATH
COPY requirements/engines.lock /tmp/engines.lock
RUN python -m pip install --no-cache-dir --require-hashes --requirement /tmp/engines.lock
COPY --from=wheel /wheels /wheels
RUN python -m pip install --no-cache-dir --no-deps /wheels/webtext-*.whl && python -m pip check && webtext --version
# A worker's home may be read-only.
ENV NUMBA_CACHE_DIR=/tmp/numba XDG_CACHE_HOME=/tmp/cache
# Beam's, said again: Dataflow refuses an image without it.
ENTRYPOINT ["/opt/apache/beam/boot"]

FROM python:3.11.14-slim-bookworm AS trainer
# PyTorch has a build for each machine, so it alone has no hash; the rest is what the tests run with.
COPY requirements/torch.txt requirements/dev.lock /tmp/
RUN python -m pip install --no-cache-dir --require-hashes --requirement /tmp/dev.lock \
    && python -m pip install --no-cache-dir --requirement /tmp/torch.txt
COPY --from=wheel /wheels /wheels
RUN python -m pip install --no-cache-dir --no-deps /wheels/webtext-*.whl && webtext --version
RUN useradd --create-home --uid 1000 trainer
USER trainer
WORKDIR /home/trainer
ENTRYPOINT ["webtext"]
