//! Polylines on a drawing surface: clipping to a panel and thinning to what the surface can resolve.

use crate::labels::Rect;

/// Keeps first, lowest, highest and last point of each column of width `column`.
pub(crate) fn decimate(points: &[(f64, f64)], column: f64) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    let mut i = 0;
    while i < points.len() {
        let cell = (points[i].0 / column).floor();
        let mut j = i + 1;
        let (mut low, mut high) = (i, i);
        while j < points.len() && (points[j].0 / column).floor() == cell {
            if points[j].1 < points[low].1 {
                low = j;
            }
            if points[j].1 > points[high].1 {
                high = j;
            }
            j += 1;
        }
        let mut kept = [i, low, high, j - 1];
        kept.sort_unstable();
        for (k, &index) in kept.iter().enumerate() {
            if k == 0 || index != kept[k - 1] {
                out.push(points[index]);
            }
        }
        i = j;
    }
    out
}

/// The parts of a polyline inside `rect`.
pub(crate) fn clip(points: &[(f64, f64)], rect: &Rect) -> Vec<Vec<(f64, f64)>> {
    let mut parts: Vec<Vec<(f64, f64)>> = Vec::new();
    if let [only] = points {
        return if rect.contains(*only) { vec![vec![*only]] } else { parts };
    }
    for pair in points.windows(2) {
        let Some((a, b)) = clip_segment(pair[0], pair[1], rect) else { continue };
        match parts.last_mut() {
            Some(part) if part.last() == Some(&a) => part.push(b),
            _ => parts.push(vec![a, b]),
        }
    }
    parts
}

/// Liang and Barsky's clipping of one segment.
fn clip_segment(a: (f64, f64), b: (f64, f64), rect: &Rect) -> Option<((f64, f64), (f64, f64))> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut from, mut to) = (0.0f64, 1.0f64);
    for (p, q) in [(-dx, a.0 - rect.x0), (dx, rect.x1 - a.0), (-dy, a.1 - rect.y0), (dy, rect.y1 - a.1)] {
        if p == 0.0 {
            if q < 0.0 {
                return None;
            }
        } else if p < 0.0 {
            from = from.max(q / p);
        } else {
            to = to.min(q / p);
        }
    }
    if from > to {
        return None;
    }
    let at = |t: f64| {
        if t == 0.0 {
            a
        } else if t == 1.0 {
            b
        } else {
            (a.0 + t * dx, a.1 + t * dy)
        }
    };
    Some((at(from), at(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_edges_of_the_panel() {
        let rect = Rect::at(0.0, 0.0, 10.0, 10.0);
        let parts = clip(&[(-5.0, 5.0), (5.0, 5.0), (5.0, 25.0), (8.0, 25.0), (8.0, 2.0)], &rect);
        assert_eq!(parts, [vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(8.0, 10.0), (8.0, 2.0)]]);
    }

    #[test]
    fn decimation_keeps_extremes() {
        let points: Vec<(f64, f64)> = (0..10_000)
            .map(|i| (f64::from(i) / 1000.0, if i == 4321 { 99.0 } else { f64::from(i % 7) }))
            .collect();
        let kept = decimate(&points, 1.0);
        assert!(kept.len() <= 40 && kept.contains(&(4.321, 99.0)));
        assert_eq!(kept.last(), points.last());
    }
}
