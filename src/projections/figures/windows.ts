/** Windows of business time, aligned to UTC, and calendar months. */

export type WindowLength = 'hour' | 'day';

export const windowLengths: readonly WindowLength[] = ['hour', 'day'];

const milliseconds: Readonly<Record<WindowLength, number>> = { hour: 3_600_000, day: 86_400_000 };

/** Start of the window that holds a time. Right before 1970 too. */
export function windowStart(length: WindowLength, at: Date): Date {
  const size = milliseconds[length];
  return new Date(Math.floor(at.getTime() / size) * size);
}

/** The calendar month of a time in UTC, as "2011-11". */
export const monthOf = (at: Date): string => at.toISOString().slice(0, 7);
