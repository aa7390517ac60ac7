/** For readers of the log that must outlive every failure of the connection. */
import { backoff, type Edges } from './edges.ts';
import { errorText, type StoreLog } from './log.ts';
import { orAborted } from './wakeup.ts';

/** Repeats until it succeeds; undefined when the signal aborts first. Throws only what `isFatal` says. */
export async function healed<T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  { edges, log }: { readonly edges: Edges; readonly log: StoreLog },
  isFatal: (error: unknown) => boolean,
): Promise<T | undefined> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const value = await orAborted(work(), signal);
      if (attempt > 0 && !signal.aborted) log('info', 'subscription reads the event log again');
      return value;
    } catch (error) {
      if (isFatal(error)) throw error;
      if (attempt === 0) log('warn', 'subscription cannot read the event log', { error: errorText(error) });
      await edges.pause(backoff(attempt, edges.random), signal);
    }
  }
  return undefined;
}
