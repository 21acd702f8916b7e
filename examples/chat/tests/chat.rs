//! Two people chat, each in a browser's page.

use std::process::Command;

use narthex_tests::browser::{Browser, Page};
use narthex_tests::process::Process;

async fn say(browser: &mut Browser, page: &Page, text: &str) {
    let script = format!(
        "{{ const text = document.getElementById('text'); text.value = {text:?};
            text.dispatchEvent(new Event('input')); document.getElementById('say').requestSubmit(); }}"
    );
    browser.evaluate(page, &script).await;
}

#[tokio::test]
async fn two_people_see_each_other_and_what_they_say() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    // A socket that nobody listens at: the chat opens a port of its own.
    let mut chat = Process::start("chat", command.arg("http://127.0.0.1:0/chat/").env("NARTHEX_HOST", "/nowhere/host.sock"));
    let url = chat.line("the chat is at ");
    let mut browser = Browser::start().await;
    let ann = browser.open(&format!("{url}?name=Ann")).await;
    browser.show(&ann, 900, 560, false).await;
    browser.until(&ann, "document.getElementById('people').innerText.includes('Ann (you)')").await;
    say(&mut browser, &ann, "Hello? Is anybody here?").await;
    browser.until(&ann, "document.querySelector('#talk .mine')?.innerText.includes('Hello?')").await;

    let ben = browser.open(&format!("{url}?name=B%C3%A9n")).await;
    browser.show(&ben, 390, 700, true).await;
    // What was said before he came, and who is there.
    browser.until(&ben, "document.getElementById('talk').innerText.includes('Is anybody here?')").await;
    browser.until(&ben, "document.getElementById('people').innerText.includes('Ann')").await;
    browser.until(&ann, "document.getElementById('people').innerText.includes('Bén')").await;
    say(&mut browser, &ben, "Yes, since just now. What is this served by?").await;
    browser.until(&ann, "document.getElementById('talk').innerText.includes('What is this')").await;
    say(&mut browser, &ann, "By a hub: this room is a channel that keeps its last 200 messages, and knows who is in it.").await;
    browser.until(&ben, "document.getElementById('talk').innerText.includes('By a hub')").await;
    let typing = "document.getElementById('text').dispatchEvent(new Event('input'))";
    browser.evaluate(&ben, typing).await;
    browser.until(&ann, "document.getElementById('typing').innerText === 'Bén is typing…'").await;
    if let Some(directory) = std::env::var_os("NARTHEX_SCREENSHOTS") {
        for (name, page) in [("chat.png", &ann), ("chat-phone.png", &ben)] {
            let file = std::path::Path::new(&directory).join(name);
            std::fs::write(file, browser.screenshot(page).await).expect("the screenshot can be written");
        }
    }

    // Another room is another talk.
    browser.evaluate(&ben, "document.querySelector('#rooms [value=rust]').click()").await;
    browser.until(&ann, "!document.getElementById('people').innerText.includes('Bén')").await;
    say(&mut browser, &ben, "only in <b>rust</b>").await;
    browser.until(&ben, "document.querySelector('#talk .mine')?.innerText.includes('only in <b>rust</b>')").await;
    let ann_sees = browser.evaluate(&ann, "document.getElementById('talk').innerText").await;
    assert!(!ann_sees.as_str().is_some_and(|text| text.contains("only in")));
}
