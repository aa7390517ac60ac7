/** A server that somebody else runs. It is not contacted here: whether it answers is a matter of the whole run. */
import type { PostgresServer } from './types.ts';

export const externalServer = (url: string): PostgresServer => ({
  url,
  description: `Postgres at ${placeOf(url)} (external)`,
  lost: new Promise(() => undefined),
  stop: () => Promise.resolve(),
});

/** Host, port and database: the rest of a connection string may hold secrets. */
function placeOf(url: string): string {
  if (!URL.canParse(url)) return 'the address in DATABASE_URL';
  const { hostname, port, pathname } = new URL(url);
  return `${hostname || 'localhost'}${port && `:${port}`}${pathname}`;
}
