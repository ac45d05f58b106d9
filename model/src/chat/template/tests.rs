use super::*;

fn render(source: &str) -> Result<String, TemplateError> {
    let template = ChatTemplate::new(source)?;
    template.render(&Context { variables: Vec::new(), now: Moment(1_720_015_509), bytes: 0 }, None)
}

#[test]
fn endless_templates_end() {
    let nested = "{% for a in range(10000) %}{% for b in range(10000) %}{{ a }}{% endfor %}{% endfor %}";
    for source in
        [nested, "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "{{ 'x' * 10000000000 }}"]
    {
        let error = render(source).unwrap_err();
        assert!(matches!(error, TemplateError::Endless(_) | TemplateError::Failed { .. }), "{error}");
    }
    assert!(matches!(render(nested), Err(TemplateError::Endless(_))));
    assert!(matches!(ChatTemplate::new(&" ".repeat(2 << 20)), Err(TemplateError::TooLarge(_))));
}

#[test]
fn errors_say_what_and_where() {
    let error = render("{{ raise_exception('only user and assistant') }}").unwrap_err();
    assert_eq!(error, TemplateError::Raised("only user and assistant".to_owned()));
    assert!(matches!(render("\n\n{{ none.x.y }}"), Err(TemplateError::Failed { line: 3, .. })));
    assert!(render("{% if %}").unwrap_err().to_string().starts_with("syntax error: line 1"));
}

#[test]
fn marks_stand_around_generated_text() {
    let template = ChatTemplate::new("a{% generation %}b{% set x = 1 %}{% endgeneration %}{{ x }}c").unwrap();
    let context = Context { variables: Vec::new(), now: Moment(0), bytes: 0 };
    assert!(template.has_generation_blocks());
    assert_eq!(template.render(&context, None).unwrap(), "abc");
    assert_eq!(template.render(&context, Some(['<', '>'])).unwrap(), "a<b>c");
}

#[test]
fn the_date_is_the_one_given() {
    assert_eq!(render("{{ strftime_now('%d %b %Y') }}").unwrap(), "03 Jul 2024");
}
