//! What every Describe does alike: ids, filters, pages.

use underlay_vpc_model::{Ec2Error, ErrorCode, Listed, Model};

use super::{
    call::Call,
    filter::{FilterTable, Filters},
    ids::WireId,
    keys::Keys,
    page::Page,
    params::Params,
    xml::Xml,
};

/// How a kind of object is described.
pub(super) struct Describe<T: Listed> {
    /// The action.
    pub(super) action: &'static str,
    /// The parameter that names objects by id.
    pub(super) ids: &'static str,
    /// The element around the objects.
    pub(super) set: &'static str,
    /// What filters see.
    pub(super) filters: &'static FilterTable<T>,
    /// Which of them an index answers.
    pub(super) keys: &'static Keys<T>,
    /// The object of an id, or EC2's answer that there is none.
    pub(super) require: fn(&Model, &T::Id) -> Result<(), Ec2Error>,
    /// Writes the object.
    pub(super) write: fn(&mut Xml, &Model, &T),
}

impl<T: Listed<Id: WireId + ToString + Send + Sync>> Describe<T> {
    /// Reads the call.
    ///
    /// # Errors
    /// Those of ids, filters and pages; `InvalidParameterCombination` for ids with pages.
    pub(super) fn call(&'static self, params: &mut Params) -> Result<Call, Ec2Error> {
        let ids: Vec<T::Id> = params.ids(self.ids)?;
        let filters = Filters::take(params, self.filters)?;
        let page = Page::take(params, self.action, 1_000)?;
        let after = page.after()?;
        if !ids.is_empty() && page.is_wanted() {
            let text = format!(
                "The parameter {} cannot be used with the parameter maxResults",
                self.ids
            );
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
        Ok(Call::new(move |model, context| {
            self.require_all(model, &ids, context.one_missing)?;
            self.run(model, &ids, &filters, (&page, after.as_ref()))
        }))
    }

    /// Refuses ids that are unknown: the first, as EC2 mostly does, or all of them.
    fn require_all(&self, model: &Model, ids: &[T::Id], one: bool) -> Result<(), Ec2Error> {
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
        ids: &[T::Id],
        filters: &Filters,
        (page, after): (&Page, Option<&T::Id>),
    ) -> Result<Xml, Ec2Error> {
        let wanted = |each: &&T| {
            model.knows(|| each.id().to_string()) && filters.pass(model, self.filters, each)
        };
        let all = self.keys.listing(model, ids, filters, after).filter(wanted);
        let (objects, next) = page.pick(all, |each| each.id().to_string());
        let mut xml = Xml::default();
        xml.items(self.set, objects, |xml, object| {
            (self.write)(xml, model, object)
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }
}
