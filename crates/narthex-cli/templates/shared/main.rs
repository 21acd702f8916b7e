//! Serves the app: behind the machine's Narthex host if one runs, else on a port of its own.

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt().init();
    // Another prefix can be given as an argument.
    let prefix = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "http://+:8888/my-app/".to_owned());
    let server = narthex::Server::new(my_app::app()).prefix(&prefix);
    server
        .on_ready(|prefixes| {
            prefixes
                .iter()
                .for_each(|prefix| println!("serving {prefix}"))
        })
        .run()
        .await
}
