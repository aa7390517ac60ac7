/** Rows in a form that can be compared whatever they came from: a key, and the values as one text. */

export type Value = string | bigint | number | boolean | Date | undefined;
export type Table = Map<string, string>;

const text = (value: Value): string => (value instanceof Date ? value.toISOString() : String(value ?? ''));

export const keyOf = (...parts: readonly Value[]): string => parts.map(text).join(' | ');

export const rowOf = (values: Readonly<Record<string, Value>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${text(value)}`)
    .join(' ');

/**
 * The table without rows in which every sum is zero: whether such a row is there depends on whether its events came to
 * nothing one by one or only together, and says nothing to anybody.
 */
export const withoutNothing = (table: Table): Table =>
  new Map([...table].filter(([, row]) => /=-?[1-9]/.test(row)));

export interface Comparison {
  readonly name: string;
  /** Rows on either side. */
  readonly rows: number;
  readonly different: number;
  /** The first few, for people. */
  readonly examples: readonly string[];
}

const mostExamples = 5;

/** Compares row by row; a row that is missing on one side is a difference. */
export function compare(name: string, expected: Table, actual: Table): Comparison {
  const keys = new Set([...expected.keys(), ...actual.keys()]);
  const examples: string[] = [];
  let different = 0;
  for (const key of keys) {
    const [want, got] = [expected.get(key), actual.get(key)];
    if (want === got) continue;
    different += 1;
    if (examples.length < mostExamples)
      examples.push(`${key}\n  from the log   ${want ?? '(no row)'}\n  as answered    ${got ?? '(no row)'}`);
  }
  return { name, rows: keys.size, different, examples };
}
