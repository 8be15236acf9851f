# Linesman: one line per thing to do. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help run test check bench bench-bus bench-postgres bench-fleet bench-fleet-faults chaos clean format bootstrap
.PHONY: soak-fleet soak-simulation soak-orders bench-path bench-load bench-kill-switch image chaos-report check-compose
.PHONY: check-scaling

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

run: bootstrap ## install what is missing, build release, play one recorded game through the whole suite
	swift build -c release
	./.build/release/linesman demo --report demo.json

test: bootstrap check ## everything that CI runs
	scripts/test.sh

check: ## format, import arrows, warnings
	scripts/check.sh

bench: bootstrap ## measure, each figure beside its peer in the same run
	scripts/bench.sh

bench-bus: bootstrap ## the bus's part of it: beside C hiredis and redis-py
	scripts/bench.sh bus

bench-postgres: bootstrap ## the database's part of it: beside asyncpg and psycopg 3
	scripts/bench.sh postgres

bench-fleet: bootstrap ## the fleet's part of it: the orchestrator's engine with 1,000 shards and 100,000 games
	scripts/bench.sh fleet

bench-fleet-faults: bootstrap ## shards killed, stopped and cut off, Redis away, a busy machine: the real suite
	scripts/bench.sh fleet-faults

bench-path: bootstrap ## the way of an order, tick to send, beside two bare hops and two bare commits: the real suite
	scripts/bench.sh path

bench-load: bootstrap ## orders a second until they come late, what gives way first, and what supervision costs
	scripts/bench.sh load

soak-fleet: bootstrap ## 10,000 seeded schedules of trouble on the fleet's engines
	scripts/soak-fleet.sh

soak-simulation: bootstrap ## 10,000 seeded runs of the whole suite, and 10,000 histories on both stores
	scripts/soak-simulation.sh

soak-orders: bootstrap ## 1,000,000 steps and 50,000 plans on the engines, then 100,000 orders with kills
	scripts/soak-orders.sh

bench-kill-switch: bootstrap ## from the kill switch's return to the last order that left, with each server away
	scripts/bench.sh kill-switch

chaos: bootstrap ## rehearse the failures of CHAOS_TESTING.md against real processes, three rounds each
	scripts/chaos.sh 3 "$$(mktemp -d)/chaos.json"

ROUNDS ?= 20
chaos-report: bootstrap ## the same in ROUNDS=20 rounds; goes on where it was interrupted (chaos-report.json, .md)
	scripts/chaos.sh $(ROUNDS) chaos-report.json CHAOS_TESTING.md

check-compose: ## time docker compose up with each profile; 30 s is too long (needs Docker and the images)
	scripts/check-compose.sh

check-scaling: ## shards on a second host, a replica and its promotion, as documented (needs Docker, the images, root)
	scripts/check-scaling.sh

image: bootstrap ## the container image, from a release build on Debian 12 (docs/OPERATIONS.md)
	scripts/image.sh

format: ## write the sources in the project's format
	swift format --in-place --parallel --recursive Package.swift Services Shared Tests Benchmarks

bootstrap:
	@scripts/bootstrap.sh

clean: ## remove what was built
	rm -rf .build Benchmarks/.build demo.json
