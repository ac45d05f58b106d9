//! How fast the kernels are here: `cargo run --release -p kernels --example rates`.

#![expect(clippy::print_stdout, reason = "a program")]

use kernels::{
    Attention, Layout, attention, linear, linear_backward_input, linear_backward_weight, rms_norm, rope,
    swiglu,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Processor seconds that the threads of this process have used.
fn processor_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let nanoseconds = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// Processor seconds of one run, the least of several: what else runs on the machine matters less to it than to time.
/// Each time so many runs as the kernel's accounting can tell apart.
fn best(work: impl Fn()) -> f64 {
    let start = processor_seconds();
    let mut runs = 0;
    while processor_seconds() - start < 0.04 {
        work();
        runs += 1;
    }
    let one = || {
        let start = processor_seconds();
        (0..runs).for_each(|_| work());
        (processor_seconds() - start) / f64::from(runs)
    };
    (0..7).map(|_| one()).fold(f64::INFINITY, f64::min)
}

fn main() {
    for (rows, outputs, inputs) in [
        (1024, 768, 768),
        (1024, 128, 768),
        (1024, 2048, 768),
        (1024, 768, 2048),
        (256, 2048, 768),
        (32, 2048, 768),
        (512, 2048, 768),
        (512, 768, 2048),
        (1, 2048, 768),
    ] {
        let (x, weight) = (vec![0.5; rows * inputs], vec![0.25; outputs * inputs]);
        let seconds = best(|| drop(linear(&x, &weight, None, inputs, outputs)));
        println!(
            "linear {rows} x {outputs} x {inputs}: {:.1} GFLOP/s",
            2.0 * (rows * outputs * inputs) as f64 / seconds / 1e9
        );
    }
    for (rows, outputs, inputs) in [(1024, 768, 768), (1024, 2048, 768), (1024, 768, 2048)] {
        let (x, grad, weight) =
            (vec![0.5; rows * inputs], vec![0.5; rows * outputs], vec![0.25; outputs * inputs]);
        let work = 2.0 * (rows * outputs * inputs) as f64 / 1e9;
        let input = work / best(|| drop(linear_backward_input(&grad, &weight, inputs, outputs)));
        let of_weight = work / best(|| drop(linear_backward_weight(&grad, &x, inputs, outputs)));
        println!(
            "linear {rows} x {outputs} x {inputs} backward: {input:.1} GFLOP/s to the input, {of_weight:.1} to the weight"
        );
    }
    let sizes = Attention { heads: 12, kv_heads: 2, size: 64, scale: 0.125, window: None };
    for len in [256, 1024, 4096] {
        let layout = Layout::packed(&[len]).expect("a length");
        let (q, k) = (vec![0.5; len * 768], vec![0.25; len * 128]);
        let seconds = best(|| drop(attention::forward(&q, &k, &k, &layout, &sizes)));
        let work = 2.0 * 2.0 * 768.0 * (len * len) as f64 / 2.0;
        println!(
            "attention {len}: {:.2} ms, {:.1} GFLOP/s of the lower triangle",
            seconds * 1e3,
            work / seconds / 1e9
        );
        let result = attention::forward(&q, &k, &k, &layout, &sizes);
        let seconds =
            best(|| drop(attention::backward([&q, &k, &k], (&result.out, &result.lse), &q, &layout, &sizes)));
        println!(
            "attention backward {len}: {:.2} ms, {:.1} GFLOP/s",
            seconds * 1e3,
            2.5 * work / seconds / 1e9
        );
    }
    let (x, weight) = (vec![0.5; 1024 * 768], vec![1.0; 768]);
    println!("rms_norm 1024 x 768: {:.3} ms", best(|| drop(rms_norm(&x, &weight, 1e-6))) * 1e3);
    let angles = vec![0.5; 1024 * 32];
    println!("rope 1024 x 12 x 64: {:.3} ms", best(|| drop(rope(&x, &angles, &angles, 12, 32, false))) * 1e3);
    let x = vec![0.5; 1024 * 2048];
    println!("swiglu 1024 x 2048: {:.3} ms", best(|| drop(swiglu(&x, &x))) * 1e3);
}
