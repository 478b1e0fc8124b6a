/** The clock of this machine beside that of the server. */
import { type DoctorFinding, finding } from '../finding.ts';
import type { ClockDifference } from '../facts/clock-difference.ts';
import type { CheckContext } from './context.ts';

export function judgeClocks({ seconds, uncertainty }: ClockDifference, { limits }: CheckContext): DoctorFinding[] {
  if (Math.abs(seconds) - uncertainty <= limits.clockSeconds) return [];
  const [which, by] = [seconds > 0 ? 'behind' : 'ahead of', Math.abs(seconds).toFixed(1)];
  const what = `This machine is ${by} s ${which} the server.`;
  const remedy =
    'Let both take their time from the network: `timedatectl set-ntp true`, and `timedatectl status` on each.';
  return [finding('CLOCK_DIFFERENCE', { subject: 'clock', what, remedy })];
}
