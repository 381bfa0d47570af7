with

rules as (

    select listed.* from ({{ finetune.rules_as_rows() }}) as listed

)

select * from rules
