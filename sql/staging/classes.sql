-- Class names in order; the place is the class_id.
SELECT DISTINCT coalesce(class, '') AS class FROM parsed WHERE reason IS NULL ORDER BY class;
