// Writes docs/configuration.md from the options as src/config/schema.ts declares them.
import { writeFileSync } from 'node:fs';
import { configReference } from '../src/config/config-reference.ts';

writeFileSync(new URL('../docs/configuration.md', import.meta.url), configReference());
