{#- The texts with what tokenizers read as a token of their own: those of Llama,
    Mistral, Gemma, Qwen and DeepSeek, as `finetune check` knows them. -#}
{% test holds_no_control_token(model, column_name) %}
    {% do config(severity="warn") %}
    {%- set marks = [
        'INST', '/INST', 'TOOL_CALLS', 'TOOL_RESULTS', '/TOOL_RESULTS',
        'AVAILABLE_TOOLS', 'SYSTEM_PROMPT', 'THINK', 'IMG', 'gMASK'
    ] %}

    select {{ column_name }}
    from {{ model }}
    where
        position('<' in {{ column_name }}) > 0
        and {{ finetune.matches(
            column_name,
            '<[|][A-Za-z0-9_-]{1,40}[|]>|<｜[^<>]{1,40}｜>|</?s>|<</?SYS>>'
            ~ '|<(bos|eos|pad|unk|mask|sop|eop|image|video)>'
            ~ '|<(start|end)_of_(turn|image)>|<fim_(prefix|middle|suffix|pad)>'
            ~ '|</?(think|tool_call|tool_response|tools)>'
            ~ '|<(extra_id_|unused)[0-9]{1,4}>|<(BOS|EOS|PAD|UNK)(_TOKEN)?>'
        ) }}
        or position('[' in {{ column_name }}) > 0
        and (
            {% for mark in marks %}
            {{ column_name }} like '%[{{ mark }}]%'
            {% if not loop.last %}or{% endif %}
            {% endfor %}
        )

{% endtest %}
