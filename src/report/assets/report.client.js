/* global document */
// Tooltips, and the blocks of a clicked candidate. Everything else of the report works without this script.
(() => {
  'use strict';
  const data = JSON.parse(document.getElementById('data').textContent);
  document.documentElement.classList.add('scripted');
  for (const hint of document.querySelectorAll('.script-only')) hint.hidden = false;

  // --- tooltips: the <title> of the drawing, at once and also by touch
  const tip = document.createElement('div');
  tip.id = 'tip';
  tip.hidden = true;
  document.body.append(tip);
  const showTip = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    tip.style.left = `${Math.max(4, Math.min(x + 14, clientWidth - box.width - 4))}px`;
    tip.style.top = `${y + 18 + box.height > clientHeight ? y - box.height - 10 : y + 18}px`;
  };
  const tipOf = (target) => {
    for (let node = target; node && node.closest && node.closest('svg'); node = node.parentNode) {
      if (node.dataset && node.dataset.tip) return node.dataset.tip;
      const title = node.querySelector && node.querySelector(':scope > title');
      if (!title) continue;
      // The browser's own tooltip would come up a second later beside ours.
      node.dataset.tip = title.textContent;
      node.setAttribute('aria-label', title.textContent);
      title.remove();
      return node.dataset.tip;
    }
    return null;
  };

  // --- candidates: positions are read back from the drawn paths
  const scatters = [...document.querySelectorAll('.scatter svg')].map((svg) => {
    const points = [];
    for (const path of svg.querySelectorAll('path.dots[data-first]')) {
      const first = Number(path.dataset.first);
      path
        .getAttribute('d')
        .split('M')
        .slice(1)
        .forEach((piece, at) => {
          const [x, y] = piece.replace('h0', '').split(' ').map(Number);
          points[first + at] = { x, y };
        });
    }
    return { svg, points };
  });
  const nearest = ({ svg, points }, event) => {
    const matrix = svg.getScreenCTM();
    if (!matrix) return -1;
    const x = (event.clientX - matrix.e) / matrix.a;
    const y = (event.clientY - matrix.f) / matrix.d;
    let best = -1;
    let distance = (14 / matrix.a) ** 2;
    points.forEach((point, at) => {
      const d = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (d < distance) [best, distance] = [at, d];
    });
    return best;
  };
  const panel = document.getElementById('candidate');
  const element = (name, text) => {
    const node = document.createElement(name);
    node.textContent = text;
    return node;
  };
  const choose = (at) => {
    const candidate = data.candidates[at];
    if (!candidate || !panel) return;
    const facts = candidate.t.map((text, fact) => `${data.labels[fact]} ${text}`).join(' · ');
    const genome = element('p', 'Genome ');
    genome.append(element('code', candidate.g));
    const list = document.createElement('ol');
    for (const number of candidate.b) {
      const [name, title, detail, colour] = data.blocks[number];
      const item = document.createElement('li');
      const heading = element('b', title);
      const where = element('span', `${name}: ${detail}`);
      where.className = 'small';
      item.append(heading, where);
      if (colour) item.style.borderLeftColor = colour;
      else item.className = 'skip';
      list.append(item);
    }
    const source = element('span', data.provenance);
    source.className = 'provenance';
    panel.replaceChildren(element('b', 'Chosen candidate'), element('p', facts), list, genome, source);
    panel.hidden = false;
    for (const { svg, points } of scatters) {
      let ring = svg.querySelector('.chosen');
      if (!ring) {
        ring = document.createElementNS(svg.namespaceURI, 'circle');
        ring.setAttribute('class', 'chosen');
        ring.setAttribute('r', '8');
        svg.append(ring);
      }
      ring.setAttribute('cx', points[at].x);
      ring.setAttribute('cy', points[at].y);
    }
  };
  for (const scatter of scatters) {
    scatter.svg.addEventListener('click', (event) => choose(nearest(scatter, event)));
    for (const point of scatter.svg.querySelectorAll('.front-point[data-candidate]')) {
      const at = Number(point.dataset.candidate);
      point.setAttribute('tabindex', '0');
      point.setAttribute('role', 'button');
      point.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        choose(at);
      });
    }
  }

  const hover = (event) => {
    let text = tipOf(event.target);
    const scatter = text === null && scatters.find(({ svg }) => svg.contains(event.target));
    if (scatter) {
      const candidate = data.candidates[nearest(scatter, event)];
      if (candidate) text = `${candidate.t[0]}, ${candidate.t[1]}, generation ${candidate.t[5]}`;
    }
    if (text) showTip(text, event.clientX, event.clientY);
    else tip.hidden = true;
  };
  document.addEventListener('pointermove', hover);
  document.addEventListener('pointerdown', hover);
  document.addEventListener('scroll', () => (tip.hidden = true), { passive: true });
})();
