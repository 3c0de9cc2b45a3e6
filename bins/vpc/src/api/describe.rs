//! What every Describe does alike: ids, filters, pages.

use underlay_vpc_model::{Ec2Error, ErrorCode, Model};

use super::{
    call::Call,
    filter::{FilterTable, Filters},
    ids::WireId,
    page::Page,
    params::Params,
    xml::Xml,
};

/// How a kind of object is described.
pub(super) struct Describe<T: 'static, I> {
    /// The action.
    pub(super) action: &'static str,
    /// The parameter that names objects by id.
    pub(super) ids: &'static str,
    /// The element around the objects.
    pub(super) set: &'static str,
    /// What filters see.
    pub(super) filters: &'static FilterTable<T>,
    /// All objects, by id.
    pub(super) all: fn(&Model) -> Box<dyn Iterator<Item = &T> + '_>,
    /// The object of an id, or EC2's answer that there is none.
    pub(super) require: fn(&Model, &I) -> Result<(), Ec2Error>,
    /// The object's id.
    pub(super) id: fn(&T) -> &I,
    /// Writes the object.
    pub(super) write: fn(&mut Xml, &Model, &T),
}

impl<T, I: WireId + ToString + Send + Sync + 'static> Describe<T, I> {
    /// Reads the call.
    ///
    /// # Errors
    /// Those of ids, filters and pages; `InvalidParameterCombination` for ids with pages.
    pub(super) fn call(&'static self, params: &mut Params) -> Result<Call, Ec2Error> {
        let ids: Vec<I> = params.ids(self.ids)?;
        let filters = Filters::take(params, self.filters)?;
        let page = Page::take(params, self.action, 1_000)?;
        if !ids.is_empty() && page.is_wanted() {
            let text = format!(
                "The parameter {} cannot be used with the parameter maxResults",
                self.ids
            );
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
        Ok(Call::new(move |model, context| {
            self.require_all(model, &ids, context.one_missing)?;
            self.run(model, &ids, &filters, &page)
        }))
    }

    /// Refuses ids that are unknown: the first, as EC2 mostly does, or all of them.
    fn require_all(&self, model: &Model, ids: &[I], one: bool) -> Result<(), Ec2Error> {
        let refusal = |id| (self.require)(model, id).err().map(|error| (id, error));
        let mut missing = ids.iter().filter_map(refusal);
        let Some((first, error)) = missing.next() else {
            return Ok(());
        };
        let others: Vec<_> = missing
            .map(|(id, _)| format!(", {}", id.to_string()))
            .collect();
        if one || others.is_empty() {
            return Err(error);
        }
        let text = error
            .message
            .replacen(" ID '", " IDs '", 1)
            .replacen(
                &first.to_string(),
                &format!("{}{}", first.to_string(), others.concat()),
                1,
            )
            .replacen("does not exist", "do not exist", 1);
        Err(Ec2Error::new(error.code, text))
    }

    fn run(
        &self,
        model: &Model,
        ids: &[I],
        filters: &Filters,
        page: &Page,
    ) -> Result<Xml, Ec2Error> {
        let wanted = |each: &&T| {
            page.is_later(|| (self.id)(each).to_string())
                && model.knows(|| (self.id)(each).to_string())
                && (ids.is_empty() || ids.contains((self.id)(each)))
                && filters.pass(model, self.filters, each)
        };
        let all = (self.all)(model).filter(wanted);
        let (objects, next) = page.pick(all, |each| (self.id)(each).to_string());
        let mut xml = Xml::default();
        xml.items(self.set, objects, |xml, object| {
            (self.write)(xml, model, object)
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }
}
