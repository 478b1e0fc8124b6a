-- One session prunes at a time; it locks this table, which only the owner may lock.

CREATE TABLE walpost.prune_turn ();

COMMENT ON TABLE walpost.prune_turn IS 'Empty. The session that prunes locks it, and no other role may.';
