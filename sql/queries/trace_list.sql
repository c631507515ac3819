-- Every stored trace, by name.
-- @public
SELECT * FROM trace ORDER BY name;
