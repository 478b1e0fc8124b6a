-- One session runs walpost verify at a time; it locks this table, which only the owner may lock.

CREATE TABLE walpost.verify_turn ();

COMMENT ON TABLE walpost.verify_turn IS 'Empty. The session that runs walpost verify locks it, through a function that needs a right.';
