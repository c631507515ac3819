-- What tells the unit of times whose readers leave it open, over rows that can be imported: how many there are, whether
-- any has a fraction, and the span and the median gap between neighbours; all in millionths of the unit.
WITH gap AS (
    SELECT elapsed_us, elapsed_us - lag(elapsed_us) OVER (ORDER BY elapsed_us) AS gap FROM imported
)

SELECT
    count(*) AS rows,
    coalesce(bool_or(elapsed_us % 1000000 <> 0), false) AS has_fraction,
    coalesce(max(elapsed_us) - min(elapsed_us), 0) AS span,
    coalesce(quantile_disc(gap, 0.5), 0) AS median_gap
FROM gap
