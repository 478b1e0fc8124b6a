/**
 * Where a password comes from that database.url does not hold: PGPASSWORD, then the password file, as in libpq.
 * The driver's own reading of that file is deprecated and prints its warnings between the lines of the log.
 * https://www.postgresql.org/docs/current/libpq-pgpass.html
 */
import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { WalpostError } from '../errors.ts';

/** What the driver knows of the connection when the server asks for the password. */
interface Login {
  readonly host?: string;
  readonly port?: number;
  readonly database?: string;
  readonly user?: string;
}

/** For `password` of the driver, which calls it only when the server asks. */
export function passwordSource(passfile: string | undefined): (login?: Login) => Promise<string> {
  return async (login) => {
    const given = process.env['PGPASSWORD'];
    if (given) return given;
    const path = passfile ?? (process.env['PGPASSFILE'] || defaultFile());
    const { password, complaint } = await fromFile(path, login ?? {});
    if (password !== undefined) return password;
    throw new WalpostError('PASSWORD_MISSING', complaint === undefined ? {} : { detail: complaint });
  };
}

function defaultFile(): string {
  if (process.platform === 'win32') return join(process.env['APPDATA'] ?? homedir(), 'postgresql', 'pgpass.conf');
  return join(process.env['HOME'] ?? homedir(), '.pgpass');
}

async function fromFile(path: string, login: Login): Promise<{ password?: string | undefined; complaint?: string }> {
  try {
    const { mode } = await stat(path);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      return { complaint: `Others may read ${path}, so it is not used: chmod 600 ${path}.` };
    }
    const lines = (await readFile(path, 'utf8')).split(/\r?\n/);
    const password = lines.map((line) => passwordIn(line, login)).find((found) => found !== undefined);
    return password === undefined
      ? { complaint: `No line of ${path} is for this host, port, database and role.` }
      : { password };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? {} : { complaint: `${path} cannot be read (${code ?? 'unknown error'}).` };
  }
}

/** The password of a line `host:port:database:user:password` that is for this login; a socket is `localhost`. */
function passwordIn(line: string, { host = 'localhost', port = 5432, database, user }: Login): string | undefined {
  if (line.startsWith('#')) return undefined;
  const fields = line.match(/^((?:\\.|[^\\:])*):((?:\\.|[^\\:])*):((?:\\.|[^\\:])*):((?:\\.|[^\\:])*):(.*)$/)?.slice(1);
  if (!fields) return undefined;
  const [hosts, ...others] = fields.map((field) => field.replace(/\\([:\\])/g, '$1'));
  const password = others.pop();
  const wanted = [String(port), database, user];
  const isHere = hosts === '*' || hosts === host || (host.startsWith('/') && hosts === 'localhost');
  return isHere && others.every((field, index) => field === '*' || field === wanted[index]) ? password : undefined;
}
