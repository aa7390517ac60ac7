/** Events from one who makes them to one who takes them, one at a time: neither runs ahead of the other. */

interface Wanting<Event> {
  readonly resolve: (result: IteratorResult<Event, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

interface Offer<Event> {
  readonly event: Event;
  readonly done: () => void;
}

const nothing = (): void => undefined;

export class Handover<Event> {
  #wanting: Wanting<Event> | undefined;
  #offer: Offer<Event> | undefined;
  /** Tells the maker that the taker has done with the last event. */
  #release = nothing;
  #end: { readonly error: unknown } | undefined;

  /** Resolves when the taker comes back for the next one. One offer at a time. */
  offer(event: Event): Promise<void> {
    if (this.#end) return Promise.resolve();
    return new Promise((done) => {
      this.#offer = { event, done };
      this.#pass();
    });
  }

  /** Rejects with the error it ended with, if it did. */
  next(): Promise<IteratorResult<Event, undefined>> {
    this.#release();
    this.#release = nothing;
    return new Promise((resolve, reject) => {
      this.#wanting = { resolve, reject };
      this.#pass();
    });
  }

  /** No more events; with an error, unless it is undefined. An event that was offered is dropped. */
  end(error: unknown): void {
    this.#end ??= { error };
    this.#release();
    this.#offer?.done();
    this.#offer = undefined;
    this.#pass();
  }

  #pass(): void {
    const [wanting, offer, end] = [this.#wanting, this.#offer, this.#end];
    if (!wanting || (!offer && !end)) return;
    this.#wanting = undefined;
    this.#offer = undefined;
    if (offer) {
      this.#release = offer.done;
      wanting.resolve({ value: offer.event, done: false });
    } else if (end?.error === undefined) wanting.resolve({ value: undefined, done: true });
    else {
      // Said once; who asks again is at the end.
      this.#end = { error: undefined };
      wanting.reject(end.error);
    }
  }
}
