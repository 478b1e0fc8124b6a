/** The services of deploy/compose.yaml, with their variables filled in. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export const DEPLOY = join(import.meta.dirname, '../../deploy');

export interface ComposeService {
  readonly image: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period?: string;
  readonly healthcheck?: { readonly test?: ['CMD', ...string[]] } | undefined;
}

/** As Compose reads the file: `${NAME:-default}` and `${NAME-default}` take what is given, or their default. */
export function composeServices(given: NodeJS.ProcessEnv = {}): ReadonlyMap<string, ComposeService> {
  const filled = (_: unknown, value: unknown): unknown =>
    typeof value === 'string'
      ? value.replace(/\$\{(\w+):?-([^}]*)\}/g, (__, name: string, otherwise: string) => given[name] || otherwise)
      : value;
  const text = readFileSync(join(DEPLOY, 'compose.yaml'), 'utf8');
  const { services } = parse(text, filled, { merge: true }) as { services: Record<string, ComposeService> };
  return new Map(Object.entries(services));
}
