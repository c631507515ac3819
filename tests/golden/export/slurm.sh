#!/bin/sh
# run-00001 of planner: scenario small, policy fixed
# Times are in UTC: Slurm's carry no zone, and TZ tells scontrol how to read them.
# Slurm refuses times that have passed; --begin DATE moves them to other days.
# Each line reserves nodes that the plan lends to training; overlapping ones get nodes of their own.
set -e
export TZ=UTC0
scontrol create reservation ReservationName=planner-run-00001-001 StartTime=2026-06-01T16:00:00 EndTime=2026-06-02T00:00:00 NodeCnt=90 PartitionName=training Accounts=training
scontrol create reservation ReservationName=planner-run-00001-002 StartTime=2026-06-01T18:00:00 EndTime=2026-06-02T00:00:00 NodeCnt=120 PartitionName=training Accounts=training
