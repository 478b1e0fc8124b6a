-- What the stream of a slot is made of: the publication and the table as they were when the stream was last known to be whole.
-- A publication decides row by row, without a word, so that a table which was outside it for a while looks like a quiet one.
-- While this differs from what is there now no checkpoint is taken, and so nothing is proven that may have been missed.

ALTER TABLE walpost.cursor ADD COLUMN source text;

COMMENT ON COLUMN walpost.cursor.source IS
  'Publication and table, by number, as they were when the stream last held every row; another one now means that rows may have been missed. Null is not known, empty is missed for sure; job N: and the numbers while job N reads what was missed.';
