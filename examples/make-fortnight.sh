#!/bin/sh
# Store a fortnight of the chat service of chat-day.toml, and the busiest hour of it request by request:
#
#     examples/make-fortnight.sh                  the sample of 1 in 50, 7 million rows
#     examples/make-fortnight.sh 0.001            a thinner sample, for a first look
#
# It runs from any folder and writes to the store that planner uses: $PLANNER_DB, or planner.duckdb in the working folder.
# Run again, it finds what is there and draws nothing. Figures are made up, as those of the profile are.
set -eu
folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
scale=${1:-0.02}
fortnight=chat-fortnight
hour=chat-busiest-hour

# Two weeks from a Monday on: fewer requests at weekends, 0.4 % more from day to day, and days and quarters of an hour that
# differ by chance. The factor takes back what growth adds, so that the mean day has about 25 million requests.
planner trace generate "$folder/chat-day.toml" --name "$fortnight" --scale "$scale" \
    --days 14 --weekdays 1.04,1.05,1.05,1.04,1.02,0.91,0.89 --growth 0.004 --noise 0.03 --demand-factor 0.97

# The busiest hour, and half an hour before and after it: what `planner replay` simulates around the hour that it counts.
window=$(planner sql --format csv "
    WITH hourly AS (
        SELECT arrival_us // 3600000000 * 3600000000 AS hour_us, sum(r.output_tokens) AS tokens
        FROM request AS r JOIN trace AS t USING (trace_id)
        WHERE t.name = '$fortnight' GROUP BY hour_us
    )
    SELECT strftime(make_timestamp(hour_us - 1800000000), '%Y-%m-%dT%H:%MZ') AS begins,
        strftime(make_timestamp(hour_us + 5400000000), '%Y-%m-%dT%H:%MZ') AS ends
    FROM hourly ORDER BY tokens DESC, hour_us LIMIT 1" | tail -n 1)
planner trace expand "$fortnight" --to "$hour" --from "${window%,*}" --until "${window#*,}"
