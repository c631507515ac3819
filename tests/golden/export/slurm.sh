#!/bin/sh
# run-00001 of planner: scenario small, policy fixed
# Times are in UTC: Slurm's carry no zone, and TZ tells scontrol how to read them. Comments have those of
# Asia/Shanghai, in which the plan is made.
# Slurm refuses times that have passed: what has begun is reserved from now on, and what has
# ended is left out; --begin DATE moves all windows.
# Reservations that overlap get nodes of their own.
# The script can be run again: reservations that exist are updated.
set -e
export TZ=UTC0
now=$(date +%Y%m%d%H%M%S)
exists() { scontrol show reservation "$1" >/dev/null 2>&1; }

# 90 nodes from 2026-06-02T00:00+08:00 to 2026-06-02T08:00+08:00
if [ "$now" -ge 20260602000000 ]; then
echo planner-run-00001-001 has ended and is left out >&2
elif exists planner-run-00001-001 && [ "$now" -ge 20260601160000 ]; then
scontrol update reservation ReservationName=planner-run-00001-001 EndTime=2026-06-02T00:00:00 NodeCnt=90 PartitionName=training Accounts=training
elif exists planner-run-00001-001; then
scontrol update reservation ReservationName=planner-run-00001-001 StartTime=2026-06-01T16:00:00 EndTime=2026-06-02T00:00:00 NodeCnt=90 PartitionName=training Accounts=training
elif [ "$now" -ge 20260601160000 ]; then
scontrol create reservation ReservationName=planner-run-00001-001 StartTime=now EndTime=2026-06-02T00:00:00 NodeCnt=90 PartitionName=training Accounts=training
else
scontrol create reservation ReservationName=planner-run-00001-001 StartTime=2026-06-01T16:00:00 EndTime=2026-06-02T00:00:00 NodeCnt=90 PartitionName=training Accounts=training
fi

# 120 nodes from 2026-06-02T02:00+08:00 to 2026-06-02T08:00+08:00
if [ "$now" -ge 20260602000000 ]; then
echo planner-run-00001-002 has ended and is left out >&2
elif exists planner-run-00001-002 && [ "$now" -ge 20260601180000 ]; then
scontrol update reservation ReservationName=planner-run-00001-002 EndTime=2026-06-02T00:00:00 NodeCnt=120 PartitionName=training Accounts=training
elif exists planner-run-00001-002; then
scontrol update reservation ReservationName=planner-run-00001-002 StartTime=2026-06-01T18:00:00 EndTime=2026-06-02T00:00:00 NodeCnt=120 PartitionName=training Accounts=training
elif [ "$now" -ge 20260601180000 ]; then
scontrol create reservation ReservationName=planner-run-00001-002 StartTime=now EndTime=2026-06-02T00:00:00 NodeCnt=120 PartitionName=training Accounts=training
else
scontrol create reservation ReservationName=planner-run-00001-002 StartTime=2026-06-01T18:00:00 EndTime=2026-06-02T00:00:00 NodeCnt=120 PartitionName=training Accounts=training
fi
