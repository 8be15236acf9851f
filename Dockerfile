# One image for every process of Linesman: the five services, the venue simulator and the command line.
# docs/OPERATIONS.md says how to build it from a release build that is already there.

FROM swift:6.3-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends libhiredis-dev libpq-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /linesman
COPY . .
RUN --mount=type=cache,target=/linesman/.build \
    for product in orchestrator game-shard market-discovery signal-processor execution-service venue-simulator linesman; \
    do swift build -c release --product "$product" || exit 1; done \
    && scripts/image-files.sh .build/release /image

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libhiredis0.14 libpq5 libstdc++6 tzdata zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --user-group --home-dir /nonexistent --shell /usr/sbin/nologin linesman \
    && install -d -o linesman -g linesman /etc/linesman /run/linesman /var/lib/linesman /var/log/linesman
# The executables look for Swift's libraries beside themselves.
COPY --from=build /image /opt/linesman
ENV PATH=/opt/linesman/bin:/usr/local/bin:/usr/bin:/bin
USER linesman
WORKDIR /opt/linesman
CMD ["linesman", "--help"]
