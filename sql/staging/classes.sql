-- Class names in order; the place is the class_id.
SELECT DISTINCT coalesce(class, '') AS class FROM imported ORDER BY class;
