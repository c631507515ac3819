-- The trace of a name.
-- @param name  name of the trace
SELECT * FROM trace WHERE name = $name;
