/** From where on something is worth a finding. Below it, a healthy system has it now and then. */
export const LIMITS = {
  /** A transaction that is open for this long. */
  transactionSeconds: 300,
  /** The difference of the clocks, beyond what the way of the question explains. */
  clockSeconds: 2,
  /** WAL that the slot of the relay keeps. */
  retainedBytes: 1024 ** 3,
  /** The part of max_slot_wal_keep_size below which the slot may soon be lost. */
  safeShare: 0.25,
  /** WAL that a slot keeps that nobody reads. */
  unreadBytes: 64 * 1024 ** 2,
  /** Days in which the password of the relay's role ends. */
  validDays: 14,
} as const satisfies Record<string, number>;

export type DoctorLimits = { readonly [Name in keyof typeof LIMITS]: number };
