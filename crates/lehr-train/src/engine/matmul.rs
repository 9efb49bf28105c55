//! Matrix products over strided views, by the `gemm` crate, on the calling thread.

use super::real::Real;

/// A matrix to read: element (i, j) is `data[i·row_stride + j·column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, R> {
    data: &'a [R],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

/// A matrix to write.
#[derive(Debug)]
pub struct ViewMut<'a, R> {
    data: &'a mut [R],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

/// Index after the last element of a strided matrix.
fn end(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
}

impl<'a, R> View<'a, R> {
    /// A row-major matrix whose rows follow each other.
    pub fn new(data: &'a [R], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A row-major matrix whose rows begin `row_stride` apart.
    pub fn strided(data: &'a [R], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(end(rows, columns, row_stride, 1) <= data.len(), "matrix larger than its data");
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transposed matrix.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

impl<'a, R> ViewMut<'a, R> {
    /// A row-major matrix whose rows follow each other.
    pub fn new(data: &'a mut [R], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A row-major matrix whose rows begin `row_stride` apart.
    pub fn strided(data: &'a mut [R], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(end(rows, columns, row_stride, 1) <= data.len(), "matrix larger than its data");
        assert!(rows <= 1 || row_stride >= columns, "overlapping rows");
        Self { data, rows, columns, row_stride }
    }
}

/// What happens to the values that the destination holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// They are overwritten.
    Replace,
    /// The product is added to them.
    Add,
}

/// `out ← scale·left·right` or `out ← out + scale·left·right`.
///
/// Shapes: left m × k, right k × n, out m × n. The order of the sums depends on shapes and machine only.
#[expect(unsafe_code, reason = "gemm takes raw pointers; the views' bounds are checked where they are made")]
pub fn matmul<R: Real>(out: ViewMut<'_, R>, how: Into, scale: R, left: View<'_, R>, right: View<'_, R>) {
    assert!(
        left.columns == right.rows && out.rows == left.rows && out.columns == right.columns,
        "shapes {}×{} · {}×{} → {}×{}",
        left.rows,
        left.columns,
        right.rows,
        right.columns,
        out.rows,
        out.columns
    );
    if out.rows == 0 || out.columns == 0 {
        return;
    }
    if left.columns == 0 {
        if how == Into::Replace {
            for row in 0..out.rows {
                out.data[row * out.row_stride..][..out.columns].fill(R::ZERO);
            }
        }
        return;
    }
    // SAFETY: every view's last element lies within its slice (checked when it was made), the shapes fit together
    // (checked above), and the destination's slice is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            left.columns,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
            how == Into::Add,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            R::ONE,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, step: f64) -> Vec<f64> {
        (0..n).map(|i| ((i as f64 + 1.0) * step).sin()).collect()
    }

    #[test]
    fn products_of_strided_and_transposed_views_are_sums_over_the_inner_index() {
        let (m, k, n) = (7, 5, 9);
        let left = numbers(m * 8, 0.3);
        let right = numbers(n * k, 0.7);
        let mut out = numbers(m * 12, 0.1);
        let before = out.clone();
        matmul(
            ViewMut::strided(&mut out, m, n, 12),
            Into::Add,
            2.0,
            View::strided(&left, m, k, 8),
            View::new(&right, n, k).t(),
        );
        for i in 0..m {
            for j in 0..12 {
                let sum: f64 = (0..k).map(|l| left[i * 8 + l] * right[j.min(n - 1) * k + l]).sum();
                let wanted = before[i * 12 + j] + if j < n { 2.0 * sum } else { 0.0 };
                assert!((out[i * 12 + j] - wanted).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn an_empty_inner_index_gives_zero() {
        let mut out = vec![1.0f32; 4];
        matmul(ViewMut::new(&mut out, 2, 2), Into::Replace, 1.0, View::new(&[], 2, 0), View::new(&[], 0, 2));
        assert_eq!(out, [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "shapes")]
    fn shapes_that_do_not_fit_are_refused() {
        let a = [0.0f32; 6];
        matmul(
            ViewMut::new(&mut [0.0; 4], 2, 2),
            Into::Replace,
            1.0,
            View::new(&a, 2, 3),
            View::new(&a, 2, 3),
        );
    }
}
