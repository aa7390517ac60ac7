/** Reads a paged list to its end. */

interface Page<Row> {
  readonly rows: readonly Row[];
  readonly next: string;
}

export async function readAllPages<Row>(
  read: (page: { pageSize: number; pageToken: string }) => Promise<Page<Row>>,
): Promise<Row[]> {
  const all: Row[] = [];
  for (let pageToken = ''; ;) {
    const { rows, next } = await read({ pageSize: 1_000, pageToken });
    for (const row of rows) all.push(row);
    if (next === '') return all;
    pageToken = next;
  }
}
