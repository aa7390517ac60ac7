/**
 * Calls `end` once when the first of the signals aborts, at once if one has; gives the function that stops listening.
 * By hand: AbortSignal.any on a signal as old as the store would keep every listener it ever had.
 */
export function onAbort(signals: readonly AbortSignal[], end: () => void): () => void {
  const leave = (): void => {
    for (const signal of signals) signal.removeEventListener('abort', once);
  };
  const once = (): void => {
    leave();
    end();
  };
  if (signals.some((signal) => signal.aborted)) end();
  else for (const signal of signals) signal.addEventListener('abort', once);
  return leave;
}
