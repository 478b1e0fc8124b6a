/** What mends a write that has to happen and fails: by the SQLSTATE in its reason. */

const GOES_ON = 'walpost then goes on by itself.';

const ROWS: readonly { readonly reason: RegExp; readonly remedy: string }[] = [
  {
    reason: /SQLSTATE 42501/,
    remedy: `Run \`walpost migrate\` as the owner of the schema, which grants what is missing; ${GOES_ON}`,
  },
  { reason: /SQLSTATE 53100/, remedy: `Make room on the disk of the server; ${GOES_ON}` },
];

export function stallRemedy(reason: string): string {
  const row = ROWS.find((each) => each.reason.test(reason));
  return row?.remedy ?? `Mend what the reason names, of which the log of the server has more; ${GOES_ON}`;
}
