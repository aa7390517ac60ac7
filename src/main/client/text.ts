/** Numbers for people. */

/** With a comma between thousands. */
export const grouped = (n: number | bigint): string => n.toLocaleString('en-GB');
