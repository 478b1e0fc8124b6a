import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import { ConfigFile } from '../support/config-file.ts';
import type { TestDatabase } from '../support/database.ts';
import { freePort } from '../support/free-port.ts';
import { poll } from '../support/slot-session.ts';
import { Cli, type CliResult, TOLD_WITHIN_MS, walpost } from '../support/walpost-cli.ts';
import { configOf } from './running-walpost.ts';

/** One installation, as an operator has it: a configuration with a port, and commands. What is to be told is told in 30 s. */
export class Operator implements Disposable {
  readonly #file: ConfigFile;

  private constructor(file: ConfigFile) {
    this.#file = file;
  }

  /** `url`: another way to the database, or another login. */
  static async of(
    database: TestDatabase,
    sinks: Record<string, object>,
    more: Record<string, object> = {},
    url = database.url,
  ): Promise<Operator> {
    const config = { http: { port: await freePort() }, ...more };
    return new Operator(new ConfigFile(JSON.stringify(configOf({ database, sinks, config, url }))));
  }

  /** Writes the file again, in the place of what `change` names. */
  correct(change: Record<string, object>): void {
    const config = JSON.parse(readFileSync(this.#file.path, 'utf8')) as Record<string, object>;
    writeFileSync(this.#file.path, JSON.stringify({ ...config, ...change }));
  }

  run(...more: string[]): Cli {
    return new Cli(['run', '--config', this.#file.path, ...more], { within: TOLD_WITHIN_MS });
  }

  command(...argv: string[]): Promise<CliResult> {
    return walpost([...argv, '--config', this.#file.path], { within: TOLD_WITHIN_MS });
  }

  /** The status, as soon as it says that; on one line. */
  status(says: RegExp): Promise<string> {
    const look = async (): Promise<string | undefined> => {
      const said = (await this.command('status')).stdout.replace(/\s+/g, ' ');
      return says.test(said) ? said : undefined;
    };
    return poll(`the status says ${says}`, look, TOLD_WITHIN_MS);
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/** In a status on one line: no alert but that slots of other tests of this server hold WAL back. */
export const NO_ALERT = /alerts none|jobs none warning held_by_slot, (?:(?! warning | critical ).)+$/;

interface Ending {
  readonly err: { readonly code: string; readonly message: string };
  readonly remedy: string;
}

/** The last line of the log of a process that has ended by itself. */
export async function ending(cli: Cli): Promise<Ending> {
  const { code, stderr } = await cli.result();
  expect(code).toBe(1);
  return JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as Ending;
}
