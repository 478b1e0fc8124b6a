/** Why a logical message with our prefix is no event. `unsigned`: it has not the form that walpost.emit writes. */
export const REFUSALS = [
  'unsigned',
  'unknown_key',
  'expired_key',
  'wrong_signature',
  'wrong_transaction',
  'not_transactional',
] as const;

export type MessageRefusal = (typeof REFUSALS)[number];

/** The secret of a key for one transaction, or why there is none; `outdated`: the keys have to be read again to tell. */
export type EmitKey = Buffer | 'unknown_key' | 'expired_key' | 'outdated';

/** Thrown before anything of the message was used: read the keys, and decode it again. */
export class KeysOutdated extends Error {
  override readonly name = 'KeysOutdated';
}
