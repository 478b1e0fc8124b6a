-- Which URL an endpoint may have. A customer chooses it, and walpost connects from inside the network of its operator.
--
-- Receivers of URLs disagree about odd spellings: blanks, tabs and backslashes, an address in octal, letters that fold to ASCII. So a URL is
-- accepted only in a form that everything reads in the same way; each accepted host is an address in its usual form, or a name. Where a
-- name leads is known only when it is resolved, so the relay checks that before it connects.

CREATE OR REPLACE FUNCTION walpost_internal.is_special_address(address inet) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
-- Everything that is not reachable by everybody. Of IPv6 only 2000::/3 is.
RETURN CASE WHEN family(address) = 6 THEN NOT address <<= inet '2000::/3' ELSE false END
    OR address <<= ANY (ARRAY[
         '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24',
         '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24',
         '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4',
         '2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20']::inet[]);

CREATE OR REPLACE FUNCTION walpost_internal.address_or_null(host text) RETURNS inet
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RETURN CASE WHEN host !~ '[/%]' THEN host::inet END;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.endpoint_host_problem(host text, OUT problem text, OUT hint text)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  number CONSTANT text := '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
  label  CONSTANT text := '[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?';
  public_only CONSTANT text := 'Endpoints must be reachable from the internet.';
  bare   text;
BEGIN
  hint := 'Write it as https://hooks.example.com/path.';
  IF host = '' THEN
    problem := 'has no host';
  ELSIF starts_with(host, '[') THEN
    bare := (regexp_match(host, '^\[([0-9a-f:.]+)\]$'))[1];
    IF walpost_internal.address_or_null(bare) IS NULL OR strpos(bare, ':') = 0 THEN
      problem := 'has no IPv6 address in its brackets';
    ELSIF walpost_internal.is_special_address(bare::inet) THEN
      problem := 'has a private or special address as its host';
      hint := public_only;
    END IF;
  ELSIF host ~ '%' THEN
    problem := 'has a host with a percent sign';
  ELSIF host ~ '\.$' THEN
    problem := 'has a host that ends in a dot';
    hint := 'Leave the dot out.';
  ELSIF host ~ '(^|\.)([0-9]+|0x[0-9a-f]*)$' THEN
    -- Whatever ends in a number is read as an address of IPv4: 0x7f.1, 017700000001, 2130706433.
    IF host !~ ('^' || number || '(\.' || number || '){3}$') THEN
      problem := 'has an address as its host that is not written as four decimal numbers';
      hint := 'Write it as 198.51.100.7, without leading zeros.';
    ELSIF walpost_internal.is_special_address(host::inet) THEN
      problem := 'has a private or special address as its host';
      hint := public_only;
    END IF;
  ELSIF host ~ '(^|\.)(localhost|localdomain|local|internal|intranet|private|corp|home|lan|onion|invalid|home\.arpa)$' THEN
    problem := 'has a host that is known inside a private network only';
    hint := public_only;
  ELSIF char_length(host) > 253 OR host !~ ('^' || label || '(\.' || label || ')*$') THEN
    problem := 'has a host that is no name of the DNS';
  ELSIF strpos(host, '.') = 0 THEN
    problem := 'has a host without a domain';
    hint := public_only;
  END IF;
  IF problem IS NULL THEN
    hint := NULL;
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.endpoint_url_problem(url text, on_loopback boolean, OUT problem text, OUT hint text)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  parts     CONSTANT text[] := regexp_match(url, '^([a-z][a-z0-9+.-]*)://([^/?#]*)', 'i');
  authority CONSTANT text := lower(parts[2]);
  host      CONSTANT text := (regexp_match(authority, '^(\[[^]]*\]|[^:]*)'))[1];
  port      CONSTANT text := substr(authority, char_length(host) + 1);
  is_loopback CONSTANT boolean := host ~ '^(localhost|127(\.(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}|\[::1\])$';
BEGIN
  hint := 'Write it as https://hooks.example.com/path.';
  IF char_length(url) NOT BETWEEN 1 AND 2048 THEN
    problem := format('must have 1 to 2048 characters, not %s', char_length(url));
  ELSIF url COLLATE "C" ~ '[\x01-\x20\x7f]' THEN
    problem := 'holds a blank or a control character';
  ELSIF url COLLATE "C" ~ '[^!-~]' THEN
    problem := 'holds a character that is not ASCII';
    hint := 'Write the host as DNS has it (xn--...), and the rest percent-encoded.';
  ELSIF url ~ '[\\^`{|}"<>]' THEN
    problem := 'holds a backslash, a quote, or another character that no URL has';
    hint := 'Write it percent-encoded.';
  ELSIF parts IS NULL OR lower(parts[1]) NOT IN ('https', 'http') THEN
    problem := 'does not begin with https://';
  ELSIF strpos(authority, '@') > 0 THEN
    problem := 'has a user name or a password in it';
    hint := 'Pass credentials as a header: headers => ''{"authorization": "Bearer ..."}''.';
  ELSIF strpos(url, '#') > 0 THEN
    problem := 'has a fragment (#), which is never sent';
    hint := 'Leave out everything from # on.';
  ELSIF port <> '' AND (port !~ '^:[0-9]{1,5}$' OR substr(port, 2)::integer NOT BETWEEN 1 AND 65535) THEN
    problem := 'has a port that is no number from 1 to 65535';
  ELSIF is_loopback AND on_loopback THEN
    hint := NULL;
  ELSE
    SELECT p.problem, p.hint INTO problem, hint FROM walpost_internal.endpoint_host_problem(host) AS p;
    IF is_loopback THEN
      hint := 'Endpoints must be reachable from the internet. For development set endpoints_on_loopback in walpost.settings to true.';
    ELSIF problem IS NULL AND lower(parts[1]) = 'http' THEN
      problem := 'does not begin with https://';
      hint := 'Events of customers are sent encrypted only.';
    END IF;
  END IF;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.is_special_address(inet) IS 'Whether an address is one that not everybody on the internet reaches.';
COMMENT ON FUNCTION walpost_internal.address_or_null(text) IS 'The text as an address; null when it is none.';
COMMENT ON FUNCTION walpost_internal.endpoint_host_problem(text) IS 'What is wrong with the host of a URL, in lower case, with what to do; null when nothing is.';
COMMENT ON FUNCTION walpost_internal.endpoint_url_problem(text, boolean) IS
  'What is wrong with the URL of an endpoint, with what to do; null when nothing is. Nothing of the URL is in it.';
