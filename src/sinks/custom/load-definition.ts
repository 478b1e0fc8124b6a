/** From the path of a module to its definition of a sink. Each thing that can be wrong with it has a code. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf, WalpostError } from '../../errors.ts';
import { SINK_CONTRACT } from '../../sink-contract-version.ts';

/** What the module exports, as far as walpost looks at it. */
export interface LoadedDefinition {
  readonly options?: { readonly '~standard'?: { readonly validate: (value: unknown) => unknown } };
  readonly create: (options: unknown, context: unknown) => unknown;
}

export async function loadDefinition(module: string, sink: string): Promise<LoadedDefinition> {
  const path = resolve(module);
  const named = `sinks.${sink}.module is ${path}.`;
  if (!existsSync(path)) throw new WalpostError('SINK_MODULE_MISSING', { detail: named });
  let exported: unknown;
  try {
    exported = ((await import(pathToFileURL(path).href)) as { default?: unknown }).default;
  } catch (error) {
    throw new WalpostError('SINK_MODULE_FAILED', { detail: `${named} ${messageOf(error)}`, cause: error });
  }
  if (typeof exported !== 'object' || exported === null || !('create' in exported) || !isFunction(exported.create)) {
    throw new WalpostError('SINK_MODULE_INVALID', { detail: named });
  }
  const contract = 'contract' in exported ? exported.contract : undefined;
  if (contract !== SINK_CONTRACT) {
    const has = typeof contract === 'number' ? `contract ${contract}` : 'no contract';
    throw new WalpostError('SINK_CONTRACT', {
      detail: `${named} It has ${has}, and this walpost has ${SINK_CONTRACT}.`,
    });
  }
  return exported as LoadedDefinition;
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function';
}
