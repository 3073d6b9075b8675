// A text's own box is its line's height; `Word` boxes reach from the capitals' top to the
// descenders' bottom, as the other renderer's do, so "Hgx" is measured in each font. A word is left
// out when it is hidden, covered, cut by its container or the page, or broken over two lines; a
// part is cut when one of its words is hidden, and its box is round all its lines.
async ([width, height]) => {
  await document.fonts.ready;
  const pen = document.createElement('canvas').getContext('2d');
  const known = new Map();
  const metrics = style => {
    const font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    if (!known.has(font)) {
      pen.font = font;
      const m = pen.measureText('Hgx');
      known.set(font, {rise: Math.round(m.fontBoundingBoxAscent),
                       up: m.actualBoundingBoxAscent, down: m.actualBoundingBoxDescent});
    }
    return known.get(font);
  };
  const clipOf = element => {
    const clip = [0, 0, width, height];
    for (let e = element; e && e !== document.body; e = e.parentElement) {
      if (e instanceof SVGElement && e.tagName !== 'svg') continue;
      if (getComputedStyle(e).overflow !== 'visible') {
        const r = e.getBoundingClientRect();
        clip[0] = Math.max(clip[0], r.left); clip[1] = Math.max(clip[1], r.top);
        clip[2] = Math.min(clip[2], r.right); clip[3] = Math.min(clip[3], r.bottom);
      }
    }
    return clip;
  };
  const words = [], parts = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const owner = node.parentElement, content = node.data;
    if (!content.trim() || owner.closest('[data-quiet]')) continue;
    const style = getComputedStyle(owner), m = metrics(style), clip = clipOf(owner);
    const shown = style.visibility === 'visible' && parseFloat(style.opacity) > 0.3;
    const marked = owner.closest('[data-part]');
    const range = document.createRange();
    for (const match of content.matchAll(/\S+/g)) {
      const centres = [], lines = [];
      let previous = null, box = null;
      for (let i = 0; i < match[0].length; i++) {
        range.setStart(node, match.index + i);
        range.setEnd(node, match.index + i + 1);
        const r = range.getBoundingClientRect();
        if (previous === null || Math.abs(r.top - previous) > 2) {
          box = [r.left, r.top, r.right, 0];
          lines.push(box);
        }
        previous = r.top;
        box[0] = Math.min(box[0], r.left); box[2] = Math.max(box[2], r.right);
        centres.push((r.left + r.right) / 2);
      }
      let visible = shown;
      for (const line of lines) {
        const base = line[1] + m.rise;
        line[1] = base - m.up; line[3] = base + m.down;
        visible = visible && line[2] > line[0] && line[0] >= clip[0] - 1 && line[1] >= clip[1] - 1
          && line[2] <= clip[2] + 1 && line[3] <= clip[3] + 1;
        if (visible) {
          const top = document.elementFromPoint((line[0] + line[2]) / 2, (line[1] + line[3]) / 2);
          visible = !!top && (top.contains(owner) || owner.contains(top));
        }
      }
      if (marked) {
        const part = parts[marked.dataset.part] ??= {whole: true, lines: 0, bottom: -1, box: null};
        part.whole = part.whole && visible;
        for (const line of lines) {
          if (line[1] >= part.bottom) { part.lines += 1; part.bottom = line[3]; }
          const b = part.box ?? [...line];
          part.box = [Math.min(b[0], line[0]), Math.min(b[1], line[1]),
                      Math.max(b[2], line[2]), Math.max(b[3], line[3])];
        }
      }
      if (visible && lines.length === 1) {
        const [x0, , x1] = lines[0];
        words.push([match[0], lines[0], centres.map(c => (c - x0) / (x1 - x0))]);
      }
    }
  }
  let bottom = 0;
  for (const child of document.body.children)
    bottom = Math.max(bottom, child.getBoundingClientRect().bottom);
  return {words, parts, bottom};
}
