-- once: a command runs once for each key. The result of the first call is kept, and a repeated call returns it.
--
-- The row of the key is written before the command runs, in the same transaction. A concurrent call with the same key waits on the
-- unique index. When the first call commits, the second returns its result; when the first rolls back, the second runs the command.
-- Under REPEATABLE READ and SERIALIZABLE a call that waited cannot see the result and fails with 40001; the caller tries again.

CREATE OR REPLACE FUNCTION walpost_internal.refuse_command(organization_id uuid, idempotency_key text, command regprocedure) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF organization_id IS NULL OR idempotency_key IS NULL OR command IS NULL THEN
    RAISE EXCEPTION 'walpost.once: % must not be null',
        CASE WHEN organization_id IS NULL THEN 'organization_id' WHEN idempotency_key IS NULL THEN 'idempotency_key' ELSE 'command' END
      USING ERRCODE = 'null_value_not_allowed', HINT = 'Call walpost.once(organization_id, idempotency_key, ''app.command(jsonb)'', arguments).';
  END IF;
  IF char_length(idempotency_key) NOT BETWEEN 1 AND 512 THEN
    RAISE EXCEPTION 'walpost.once: idempotency_key must have 1 to 512 characters, not %', char_length(idempotency_key)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Hash what is longer.';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_proc AS p WHERE p.oid = command AND p.prokind = 'f' AND NOT p.proretset
                  AND p.pronargs = 1 AND p.proargtypes[0] = 'jsonb'::regtype AND p.prorettype = 'jsonb'::regtype) THEN
    RAISE EXCEPTION 'walpost.once: % must be a function that takes one jsonb and returns jsonb', command
      USING ERRCODE = 'invalid_parameter_value', HINT = 'CREATE FUNCTION app.command(arguments jsonb) RETURNS jsonb …';
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.once(
  organization_id    uuid,
  idempotency_key    text,
  command            regprocedure,
  arguments          jsonb DEFAULT '{}',
  -- Taken where the call is written, since this function has a search_path of its own.
  caller_search_path text  DEFAULT current_setting('search_path')
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  hash   CONSTANT bytea := sha256(convert_to(coalesce(arguments, 'null')::text, 'UTF8'));
  known  walpost.command_results;
  answer jsonb;
BEGIN
  PERFORM walpost_internal.refuse_command(organization_id, idempotency_key, command);
  IF row_security_active('walpost.command_results') THEN
    PERFORM walpost_internal.refuse_organization('walpost.once', organization_id);
  END IF;
  LOOP
    INSERT INTO walpost.command_results (organization_id, idempotency_key, command, arguments_hash)
    VALUES (once.organization_id, once.idempotency_key, once.command::text, hash)
    ON CONFLICT ON CONSTRAINT command_results_pkey DO NOTHING;
    EXIT WHEN FOUND;

    SELECT * INTO known FROM walpost.command_results AS r
     WHERE r.organization_id = once.organization_id AND r.idempotency_key = once.idempotency_key;
    CONTINUE WHEN NOT FOUND;
    IF known.command <> command::text OR known.arguments_hash <> hash THEN
      RAISE EXCEPTION 'walpost.once: the key has been used for % with other arguments, or for another function', known.command
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Make a new key for each command; repeat only the whole call.';
    END IF;
    IF known.result IS NULL THEN
      RAISE EXCEPTION 'walpost.once: the command of this key is running in this very transaction'
        USING ERRCODE = 'object_in_use', HINT = 'A command must not call itself with its own key.';
    END IF;
    RETURN known.result;
  END LOOP;

  PERFORM set_config('search_path', caller_search_path, true);
  EXECUTE format('SELECT %s($1)', command::oid::regproc) INTO answer USING arguments;
  PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
  answer := coalesce(answer, 'null');
  UPDATE walpost.command_results AS r SET result = answer
   WHERE r.organization_id = once.organization_id AND r.idempotency_key = once.idempotency_key;
  RETURN answer;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.refuse_command(uuid, text, regprocedure) IS
  'Raises an error when walpost.once is called wrongly.';
COMMENT ON FUNCTION walpost.once(uuid, text, regprocedure, jsonb, text) IS
  'Calls a function of the application once for each key of an organization; a repeated call returns the first result. On 40001 (REPEATABLE READ, SERIALIZABLE) try the whole transaction again.';
