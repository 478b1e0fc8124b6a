/** The scenes, in the order of the table "When something is wrong" of docs/operations.md. */
import type { Scene } from './scene.ts';
import { DELIVERY_SCENES } from './scenes/delivery.ts';
import { PROCESS_SCENES } from './scenes/process.ts';
import { SETUP_SCENES } from './scenes/setup.ts';
import { SLOT_SCENES } from './scenes/slot.ts';

export const SCENES: readonly Scene[] = [...SETUP_SCENES, ...PROCESS_SCENES, ...DELIVERY_SCENES, ...SLOT_SCENES];
