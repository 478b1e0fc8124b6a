import { dirname, resolve } from 'node:path';
import type { ConfigDraft } from './config-draft.ts';
import { childOf } from './option-schema.ts';

/** The modules of sinks are named relative to the configuration file; from here on they are absolute. */
export function settleModules(draft: ConfigDraft, file: string): void {
  for (const [name, sink] of Object.entries(childOf(draft.root, 'sinks') ?? {})) {
    const named = childOf(sink, 'module');
    if (childOf(sink, 'type') !== 'custom' || typeof named !== 'string' || named.trim() === '') continue;
    draft.rewrite(['sinks', name, 'module'], resolve(dirname(file), named.trim()));
  }
}
