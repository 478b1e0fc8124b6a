/** The ids that were seen last; the oldest is forgotten first. */
export class RecentIds {
  private readonly ids = new Set<string>();
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  /** False when the id was seen before. */
  add(id: string): boolean {
    if (this.ids.has(id)) return false;
    this.ids.add(id);
    if (this.ids.size > this.most) this.ids.delete(this.ids.values().next().value as string);
    return true;
  }
}
